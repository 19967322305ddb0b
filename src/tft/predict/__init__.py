"""Who answers the held-out turns: students, policies, the teacher."""
