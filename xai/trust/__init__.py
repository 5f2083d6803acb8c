"""Whether a map can be believed: tests against a planted truth, of sanity and of faithfulness."""
