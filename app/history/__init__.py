"""History: decisions, outcomes, labels and effects as Parquet, and SQL over them."""
