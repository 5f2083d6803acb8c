"""What a detector uses: the picture is changed where it matters, and the logit is watched."""
