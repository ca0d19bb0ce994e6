"""Commands with side effects and receipts: register, promote, recommend, report."""
