"""A seeded simulator of card payment attempts, genuine and fraudulent, written as Parquet."""
