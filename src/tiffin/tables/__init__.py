"""Tables: Delta Lake logs and Parquet files, committed so that nothing acknowledged is lost."""
