"""One job from its sites to measured files, in processes that may die; and changes that mend a refusal."""
