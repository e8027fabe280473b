"""Counting, and how the counts are shown."""

from __future__ import annotations

from pykyro.tenancy.usage import CSV_COLUMNS, TenantUsage, UsageLedger, as_csv, as_json, statement


def test_counters_are_one_object_a_tenant() -> None:
    ledger = UsageLedger()
    ledger.of("acme").queries += 2
    ledger.of("acme").inserts += 1
    ledger.of("idle")
    assert ledger.counts() == {"acme": (2, 1, 0)}


def test_loading_goes_on_from_the_counts() -> None:
    ledger = UsageLedger()
    ledger.load({"acme": (1, 2, 3)})
    ledger.of("acme").deletes += 1
    assert ledger.counts() == {"acme": (1, 2, 4)}


def test_a_statement_has_who_did_something_or_has_documents() -> None:
    rows = statement({"gone": (1, 0, 0), "both": (2, 3, 4)}, {"both": 5, "has": 1, "idle": 0}, dimension=8)
    assert rows == [
        TenantUsage("both", 2, 3, 4, 5, 160),
        TenantUsage("gone", 1, 0, 0, 0, 0),
        TenantUsage("has", 0, 0, 0, 1, 32),
    ]


def test_json_has_the_keys_its_readers_know() -> None:
    rows = statement({"b": (2, 3, 4), "a": (1, 0, 0)}, {"b": 1 << 20}, dimension=256)
    assert as_json(rows, 1700000000) == {
        "generated_at": 1700000000,
        "totals": {
            "query_count": 3,
            "vector_count": 1 << 20,
            "storage_bytes": 1 << 30,
            "billable_events": 10,
        },
        "tenants": [
            {
                "tenant_id": "a",
                "query_count": 1,
                "insert_count": 0,
                "delete_count": 0,
                "vector_count": 0,
                "storage_bytes": 0,
                "storage_mb": 0.0,
                "storage_gb": 0.0,
                "billable_events": 1,
            },
            {
                "tenant_id": "b",
                "query_count": 2,
                "insert_count": 3,
                "delete_count": 4,
                "vector_count": 1 << 20,
                "storage_bytes": 1 << 30,
                "storage_mb": 1024.0,
                "storage_gb": 1.0,
                "billable_events": 9,
            },
        ],
    }


def test_nothing_used_is_an_empty_list_and_zeros() -> None:
    assert as_json([], 1)["tenants"] == []
    assert as_json([], 1)["totals"] == {
        "query_count": 0,
        "vector_count": 0,
        "storage_bytes": 0,
        "billable_events": 0,
    }


def test_csv_has_the_columns_its_readers_know() -> None:
    rows = [TenantUsage("acme", 1, 2, 3, 4, 1_600_000)]
    assert as_csv(rows, 1700000000) == (
        "tenant_id,query_count,insert_count,delete_count,vector_count,storage_bytes,storage_mb,billable_events,"
        "timestamp\nacme,1,2,3,4,1600000,1.53,6,1700000000\n"
    )
    assert as_csv([], 0).strip().split(",") == list(CSV_COLUMNS)
