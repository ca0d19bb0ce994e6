"""The ground floor: where files lie, who makes them, locks, receipts, lineage."""
