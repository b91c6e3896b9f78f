"""From raw maps and targets to a loss: target assignment, focal loss, ComputeLoss, anchors."""
