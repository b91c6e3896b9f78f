"""What a run needs besides its loop: several processes, files to go on from, and reasons why it stopped."""
