"""Masks: whole values (`methods`), what is found inside text (`detectors`), JSON (`documents`)."""
