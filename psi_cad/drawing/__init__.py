"""Pictures of guides that are drawn while they are measured."""
