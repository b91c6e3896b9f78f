"""Any Python function, line by line: its variables, the shapes of its tensors, what changed in place, its error."""

import torch
from torch import nn

from walkthrough import trace


class Gate(nn.Module):
    """A module of yours, with options that are not tensors."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)

    def forward(self, x, **options):
        gate = self.conv(x.mean((2, 3), keepdim=True)).sigmoid()
        out = x * gate
        if options.get("residual"):
            out += x
        return out


recording = trace(Gate())(torch.rand(2, 4, 8, 8), residual=True)
print(recording)
assert recording.error is None
assert recording.result.shape == (2, 4, 8, 8)
gate = recording.at("gate").values[0]
assert gate.shape == (2, 4, 1, 1) and 0 < gate.stats.low <= gate.stats.high < 1
kinds = [change.kind for step in recording.steps for change in step.changes if change.name == "out"]
assert kinds == ["new", "in place"]

wrong = trace(Gate())(torch.rand(2, 3, 8, 8))  # an error ends up in the recording, at its line
assert "channels" in str(wrong.error) and any(step.failed for step in wrong.steps)

try:
    trace(torch.compile(Gate()))  # it does not run in Python: the message names what does
except ValueError as reason:
    assert "_orig_mod" in str(reason)
# recording.show() opens it in a notebook; recording.save("gate.json") writes it, load_trace reads it.
