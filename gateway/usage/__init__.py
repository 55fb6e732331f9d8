"""The usage ledger: a row for each run that somebody is charged for."""
