"""Experiments beside the pipeline, each with its own dvc.yaml."""
