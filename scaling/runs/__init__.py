"""The runs table: columns, units and conventions; reading, checking, records and provenance."""
