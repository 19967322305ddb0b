"""Answers to the held-out turns, by students, policies, and the teacher."""
