"""XGBoost's JSON, checked before XGBoost reads it.

A hash shows damage, but not a malicious change, and XGBoost documents that it does not sanitise models: a changed child
index, leaf size, category list or booster name crashes the process, and a changed number of features or classes makes it run
out of memory. So a booster must have exactly the form that our own training writes, and everything else is refused. XGBoost
gets the checked content written again, because two JSON readers may understand the same bytes differently.

The keys are those of XGBoost 2.1 to 3.2. If a newer XGBoost writes other keys, the retraining with it fails.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from transfercast.core.errors import ArtifactError
from transfercast.core.validation import problems

if TYPE_CHECKING:
    from xgboost import Booster

MOST_DEPTH = 32
"""Much deeper than trained trees. The memory for reasons (SHAP values) grows with the square of the depth."""

NO_PARENT = 2**31 - 1

_Index = Annotated[int, Field(ge=-1, le=NO_PARENT)]
_Number = Annotated[float, Field(ge=-3e38, le=3e38)]  # XGBoost's numbers have 32 bits
_Empty = Annotated[list[Any], Field(max_length=0)]


class _Exact(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _TreeParam(_Exact):
    num_deleted: Literal["0"]
    num_feature: str
    num_nodes: str
    size_leaf_vector: Literal["1"]


class _Tree(_Exact):
    id: int
    tree_param: _TreeParam
    left_children: list[_Index]
    right_children: list[_Index]
    parents: list[_Index]
    split_indices: list[_Index]
    split_conditions: list[_Number]
    split_type: list[Literal[0]]
    default_left: list[Literal[0, 1]]
    base_weights: list[_Number]
    loss_changes: list[_Number]
    sum_hessian: list[_Number]
    categories: _Empty
    categories_nodes: _Empty
    categories_segments: _Empty
    categories_sizes: _Empty


class _Categories(_Exact):
    enc: _Empty
    feature_segments: _Empty
    sorted_idx: _Empty


class _TreesParam(_Exact):
    num_parallel_tree: str
    num_trees: str


class _Trees(_Exact):
    gbtree_model_param: _TreesParam
    iteration_indptr: list[_Index]
    tree_info: list[Literal[0]]
    trees: list[_Tree]
    cats: _Categories | None = None  # since XGBoost 3.1


class _GradientBooster(_Exact):
    name: Literal["gbtree"]
    model: _Trees


class _LearnerParam(_Exact):
    base_score: Literal["0E0", "[0E0]"]  # in brackets since XGBoost 3.1
    boost_from_average: Literal["0"]
    num_class: Literal["0"]
    num_feature: str
    num_target: Literal["1"]


class _Nothing(_Exact):
    pass


class _LossParam(_Exact):
    scale_pos_weight: Literal["1"]


class _Squares(_Exact):
    name: Literal["reg:squarederror"]
    reg_loss_param: _LossParam


class _Learner(_Exact):
    attributes: _Nothing
    feature_names: _Empty
    feature_types: _Empty
    gradient_booster: _GradientBooster
    learner_model_param: _LearnerParam
    objective: _Squares


class _Model(_Exact):
    learner: _Learner
    version: Annotated[list[Annotated[int, Field(ge=0, le=99)]], Field(min_length=3, max_length=3)]


def read_booster(content: bytes, columns: int, where: str) -> Booster:
    """A booster from XGBoost's JSON.

    Args:
        content: content of the file.
        columns: number of columns that its trees may split on.
        where: name of the file, for messages.

    Raises:
        ArtifactError: if it is not trees over `columns` columns in the form of our own training.
    """
    import xgboost

    checked = checked_json(content, columns, where)
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(checked))
    except ValueError as error:  # XGBoostError is one, and so is a message of it that is not UTF-8
        raise ArtifactError(f"{where}: XGBoost cannot read it. Roll back, or train anew.") from error
    booster.set_param({"nthread": 1})
    return booster


def checked_json(content: bytes, columns: int, where: str) -> bytes:
    """The checked `content`, written again; arguments and errors as in `read_booster`."""
    try:
        model = _Model.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(f"{where}: {problems(error, _Model)}. Roll back, or train anew.") from error
    trees = model.learner.gradient_booster.model
    count, width = len(trees.trees), str(columns)
    ends = trees.iteration_indptr
    if model.learner.learner_model_param.num_feature != width:
        raise ArtifactError(f"{where}: made for other columns than the {columns} of the predictor. Roll back, or train anew.")
    if trees.gbtree_model_param.num_trees != str(count) or len(trees.tree_info) != count:
        raise ArtifactError(f"{where}: has {count} trees, but states another number. Roll back, or train anew.")
    if ends[:1] != [0] or ends[-1:] != [count] or any(end <= start for start, end in pairwise(ends)):
        raise ArtifactError(f"{where}: its rounds do not add up to its {count} trees. Roll back, or train anew.")
    for number, tree in enumerate(trees.trees):
        problem = _problem(tree, number, columns)
        if problem:
            raise ArtifactError(f"{where}, tree {number}{problem}. Roll back, or train anew.")
    return model.model_dump_json(exclude_unset=True).encode()


def _problem(tree: _Tree, number: int, columns: int) -> str:
    """What is wrong with a tree, as the end of a sentence; empty if it is correct."""
    left, right, parents = tree.left_children, tree.right_children, tree.parents
    size = len(left)
    arrays = (
        right, parents, tree.split_indices, tree.split_conditions, tree.split_type, tree.default_left,
        tree.base_weights, tree.loss_changes, tree.sum_hessian,
    )  # fmt: skip
    if not size or tree.tree_param.num_nodes != str(size) or any(len(array) != size for array in arrays):
        return ": arrays of different length"
    if tree.id != number or tree.tree_param.num_feature != str(columns):
        return ": of another forest"
    if parents[0] != NO_PARENT:
        return ", node 0: the root has a parent"
    depth = [0] * size
    reached = 1
    for node in range(size):
        if left[node] == right[node] == -1:
            continue
        if not node < left[node] == right[node] - 1 < size - 1:  # XGBoost reads the right child at left + 1
            return f", node {node}: children are not a pair below it"
        if parents[left[node]] != node or parents[right[node]] != node:
            return f", node {node}: not the parent of its children"
        if not 0 <= tree.split_indices[node] < columns:
            return f", node {node}: splits on column {tree.split_indices[node]} of {columns}"
        if depth[node] == MOST_DEPTH:
            return f", node {node}: deeper than {MOST_DEPTH}"
        depth[left[node]] = depth[right[node]] = depth[node] + 1
        reached += 2
    return "" if reached == size else ": nodes that the root does not reach"
