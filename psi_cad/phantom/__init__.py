"""An analytic right hemipelvis with a tumour: the project's own bone, with closed-form answers."""
