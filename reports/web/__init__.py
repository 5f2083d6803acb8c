"""The upload page: one drops a face and reads what the detector says, and why. Flask behind waitress, an extra."""
