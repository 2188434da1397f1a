"""The heads' network in PyTorch: one body for age and gender, one for emotion, of the same build."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH, HIDDEN = 128, 128
INFANT = 6  # years; below, gender is hardly to be seen and the answer is made more doubtful
EMBEDDING_GAIN = 3.0  # descriptors have a norm of about 1.4; the maps' values are larger
TASKS = {"people": {"age": 101, "gender": 2}, "mood": {"emotion": 8}}


class Body(nn.Module):
    """map_128, map_256 and descriptor -> HIDDEN features -> one row of logits per task."""

    def __init__(self, tasks: dict[str, int], *, dropout: float = 0.4) -> None:
        super().__init__()
        self.fine_1 = nn.Conv2d(128, WIDTH, 3, stride=2, padding=1, bias=False)
        self.fine_2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False)
        self.coarse = nn.Conv2d(256, WIDTH, 1, bias=False)
        self.norms = nn.ModuleDict({n: nn.BatchNorm2d(WIDTH) for n in ("fine_1", "fine_2", "coarse")})
        self.hidden = nn.Linear(2 * WIDTH * 16 + 128, HIDDEN, bias=False)
        self.hidden_norm = nn.BatchNorm1d(HIDDEN)
        self.out = nn.ModuleDict({task: nn.Linear(HIDDEN, size) for task, size in tasks.items()})
        self.drop_maps, self.drop = nn.Dropout2d(dropout / 4), nn.Dropout(dropout)

    def forward(self, map_128: Tensor, map_256: Tensor, embedding: Tensor) -> dict[str, Tensor]:
        fine = torch.relu(self.norms["fine_1"](self.fine_1(map_128)))
        fine = torch.relu(self.norms["fine_2"](self.fine_2(self.drop_maps(fine))) + fine)
        coarse = torch.relu(self.norms["coarse"](self.coarse(map_256)))
        both = torch.cat([self.drop_maps(fine), self.drop_maps(coarse)], dim=1).flatten(1)
        x = torch.cat([both, EMBEDDING_GAIN * embedding], dim=1)
        x = self.drop(torch.relu(self.hidden_norm(self.hidden(self.drop(x)))))
        return {task: layer(x) for task, layer in self.out.items()}
