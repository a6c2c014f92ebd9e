"""Allografts: where a donor's bone lies on the patient's, the planes carried over to it, how the graft meets the host, which donor fits best."""
