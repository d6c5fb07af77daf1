"""The interface for programs: AsyncAPI and JSON Schemas."""
