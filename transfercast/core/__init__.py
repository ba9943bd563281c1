"""Types that every package shares: records, tables, plans, errors. Neither torch nor xgboost is imported here."""
