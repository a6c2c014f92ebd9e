"""What psi-cad writes into JSON files and reads again, as typed models: `report.json`, `plan.json`, `approvals.json`, and what `check` tells."""
