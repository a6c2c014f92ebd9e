"""The case file and the blade and printer catalogues: strict models, and one sentence for each mistake."""
