"""A quick look at the held-out soundfont during training."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stemwright.engine.conditioner import SCALE
from stemwright.engine.train.checkpoints import set_parameters
from stemwright.engine.train.features import Batch, Tables, batch_of
from stemwright.engine.train.mixing import Wave
from stemwright.engine.train.objective import likeness, predicted_mask
from stemwright.engine.train.pool import PooledSong, SongPool
from stemwright.engine.train.prompt_bank import Bank, canonical


class Probe:
    """Every stem of a few songs, one step, 5.12 s; on the device of the tables."""

    def __init__(
        self, network: nn.Module, tables: Tables, bank: Bank, pool: SongPool, frames: int, songs: int = 24
    ) -> None:
        self.device = tables.window.device
        self.network, self.tables, self.frames = network.eval().to(self.device), tables, frames
        rows = {text: row for row, text in enumerate(bank.texts)}
        self.cases = [
            self._case(song, label, bank.embeddings[rows[canonical(label)]].astype(np.float32))
            for song in pool.songs[:songs]
            for label in sorted(set(song.labels))
            if len(set(song.labels)) > 1
        ]

    def _case(self, song: PooledSong, label: str, embedding: Wave) -> tuple[str, Batch, Tensor]:
        waves = song.stems[:, 32768 : 32768 + self.frames].astype(np.float32) / 32768
        is_wanted = np.array([other == label for other in song.labels])
        source, rest = waves[is_wanted].sum(0), waves[~is_wanted].sum(0)
        gain = 0.1 / max(float(np.sqrt(np.mean((source + rest) ** 2))), 1e-5)
        pair = torch.from_numpy(np.stack([rest * gain, source * gain])).to(self.device)
        condition = torch.zeros(1, 3, len(embedding))
        condition[0, 2] = torch.from_numpy(embedding) * SCALE
        return label, batch_of(pair[:1], pair[1:], self.tables), condition.to(self.device)

    @torch.no_grad()
    def measure(self, flat: Tensor) -> dict[str, float]:
        """Median SI-SDR improvement in dB, in all and by class, from band powers."""
        set_parameters(self.network, flat)
        gains: dict[str, list[float]] = defaultdict(list)
        generator = torch.Generator().manual_seed(1)  # the same noise on every device
        for label, batch, condition in self.cases:
            noise = torch.randn(batch.latents.shape, generator=generator).to(self.device)
            noise[:, 0] = batch.latents[:, 0]
            levels = torch.tensor([[0.0, 1.0, 1.0]], device=self.device)
            with torch.autocast(self.device.type, torch.bfloat16):
                velocity = self.network(noise, levels, condition).float()
            mask = predicted_mask(-velocity, self.tables)
            if batch.powers[:, 2].sum() > 1e-3 * batch.powers[:, 0].sum():
                gain = likeness(mask, batch.powers) - likeness(torch.ones_like(mask), batch.powers)
                gains[label].append(float(gain))
        found = {label: round(float(np.median(values)), 2) for label, values in sorted(gains.items())}
        return {"all": round(float(np.median(np.concatenate(list(gains.values())))), 2), **found}

    def write(self, flat: Tensor, path: Path, seconds: int) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seconds": seconds, **self.measure(flat)}) + "\n")
