"""What a case names, as checked values: bone, tumour, cuts, blades, and where each guide may sit."""
