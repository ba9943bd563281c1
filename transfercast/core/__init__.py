"""What every part speaks: records, tables, plans, errors. Neither torch nor xgboost is imported here."""
