"""The database: pool, transactions, notifications, migrations. Knows no domain rules."""
