"""`python -m benchmarks.train`: how fast and how large training is; everything printed is measured in that run.

    (nothing)           Cluster Contrast with SqueezeNet at 128 x 64, batches of 8 x 8, half a minute on two cores
    --full              ResNet-50, last stride 1, 256 x 128, batches of 16 x 16, bfloat16: for a GPU
    --rounds, --iterations, --images, --device, --compiled
    --memories          the memory of Cluster Contrast beside one with an entry an image; --sizes, --dimensions, --device

Images are JPEGs of coloured noise and weights are random: a step takes as long with them as with any other. The first round
warms up, so look at the others. On a GPU time in which it had nothing to do counts as what it waited for. The rate of the
matrix products of forward and backward is set beside the best rate of one large product in the same precision (`rates.py`),
measured when the training is over.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import environment
from benchmarks.harness import measure
from benchmarks.rates import measure_rates
from benchmarks.table import megabytes, seconds
from reunite.cluster import JaccardDBSCAN
from reunite.cluster.available_memory import available_bytes
from reunite.losses import ClusterMemory, InstanceMemory
from reunite.losses.protocol import ask, asked
from reunite.model import EncoderSpec
from reunite.recipes import cluster_contrast
from reunite.train import IdentityBatches, Recipe, train
from reunite.train.rounds import Round
from reunite.types import Images

SMALL = EncoderSpec("squeezenet1_1", pretrained=False, image_size=(128, 64), last_stride=2)
FULL = EncoderSpec("resnet50", pretrained=False, image_size=(256, 128), last_stride=1)
CAMERAS, ALIKE = 4, 20  # ALIKE: images of an individual
BATCH, CLUSTERS_IN_BATCH, STEPS, REPEATS = 256, 16, 2, 5
WIDTHS = (30, 9, 9, 13, 13, 8)  # of the table of memories
COPIES = 2.3
"""Times the embeddings that beginning an instance memory takes at its peak, which is measured, and a little more."""


@dataclass(frozen=True)
class Measured:
    """One training.

    Args:
        rounds: as `train` gave them.
        operations: floating point operations of forward and backward for one image (a multiplication and an addition are
            two), those of the loss included.
        rate: operations per second of the device's best large matrix product in the same precision.
    """

    rounds: Sequence[Round]
    operations: float
    rate: float

    def share(self, found: Round, *stages: str) -> float:
        """Of the matrix rate, while these stages ran."""
        images = found.images_per_second * found.seconds["train"]
        return self.operations * images / sum(found.seconds[stage] for stage in stages) / self.rate

    def lines(self) -> list[str]:
        """The table: what was measured, by round."""
        spent: list[tuple[str, Callable[[Round], str]]] = [
            ("clusters", lambda found: f"{found.clusters.count:,}"),
            ("images/s, training", lambda found: f"{found.images_per_second:,.0f}"),
            ("images/s, embedding", lambda found: f"{len(found.tracklets) / found.seconds['embed']:,.0f}"),
            *(
                (name, lambda found, name=name: f"{found.seconds[name]:.2f} s")
                for name in ("embed", "cluster", "train")
            ),
            *(
                (f"of train: {words}", lambda found, name=name: f"{found.seconds[name]:.2f} s")
                for name, words in (
                    ("data", "waiting for data"),
                    ("forward", "forward"),
                    ("backward", "backward"),
                    ("update", "update"),
                    ("keep", "looking at losses"),
                )
            ),
            ("share waiting for data", lambda found: f"{100 * found.seconds['data'] / found.seconds['train']:.1f} %"),
            ("peak memory, process", lambda found: megabytes(found.memory["memory"])),
            ("of matrix rate, forward and backward", lambda found: f"{100 * self.share(found, *PASSES):.1f} %"),
            ("of matrix rate, all of train", lambda found: f"{100 * self.share(found, 'train'):.1f} %"),
        ]
        if "device_memory" in self.rounds[0].memory:
            spent.insert(-2, ("peak memory, device", lambda found: megabytes(found.memory["device_memory"])))
        rows = [[name, *map(cell, self.rounds)] for name, cell in spent]
        return _table(["", *(f"round {found.number}" for found in self.rounds)], rows)


PASSES = ("forward", "backward")


def small(rounds: int, iterations: int) -> Recipe:
    """Batches of 8 x 8, normalised in four groups as the published ones are, and neighbors for few images."""
    clusterer, batches = JaccardDBSCAN(k1=20, k2=6, eps=0.5), IdentityBatches(8, 8, iterations)
    published = cluster_contrast()
    return replace(published, encoder=SMALL, clusterer=clusterer, batches=batches, rounds=rounds, bn_group_size=16)


def full(rounds: int, iterations: int) -> Recipe:
    """The published sizes."""
    return replace(cluster_contrast(), encoder=FULL, batches=IdentityBatches(16, 16, iterations), rounds=rounds)


def coloured_noise(folder: Path, count: int, height: int, width: int) -> Images:
    """JPEGs in which 20 share coarse colours, so that an untrained network finds clusters."""
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{number}.jpg") for number in range(count)]
    for number, path in enumerate(paths):
        if number % ALIKE == 0:
            coarse = rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)
            smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)
        pixels = smooth + rng.integers(-12, 13, smooth.shape, dtype=np.int16) + rng.integers(-20, 21)
        cv2.imwrite(path, pixels.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    return Images.of(paths, camera=np.arange(count) % CAMERAS)


def measured(
    recipe: Recipe, images: Images, accelerator: Accelerator, compiled: bool = False, rate: float | None = None
) -> Measured:
    """Trains by the recipe. The rate of the device is measured afterwards, unless it is given."""
    rounds = list(train(recipe, images, accelerator=accelerator, compiled=compiled))
    operations = _operations(rounds[-1], recipe, accelerator)
    return Measured(rounds, operations, rate or matrix_rate(accelerator.device, accelerator.mixed_precision == "bf16"))


def _operations(found: Round, recipe: Recipe, accelerator: Accelerator) -> float:
    """Those of one image, counted over one batch through network and loss as they were trained."""
    count = recipe.batches.identities * recipe.batches.images
    height, width = recipe.encoder.image_size
    pixels = torch.zeros(count, height, width, 3, dtype=torch.uint8, device=accelerator.device)
    labels = torch.arange(count, device=accelerator.device) % found.clusters.count
    with FlopCounterMode(display=False) as counted:
        with accelerator.autocast():
            value = found.loss_module(found.encoder.train().features(pixels).unit, labels)
        value.backward()
    return counted.get_total_flops() / count


def matrix_rate(device: torch.device, bfloat16: bool) -> float:
    """Operations per second of the best large matrix product; on a CPU the best of numpy's and torch's."""
    if device.type == "cpu":
        rates = measure_rates()
        return rates.bfloat16 if bfloat16 else rates.float32
    side = 8192
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if bfloat16 else torch.float32)
    allowed, torch.backends.cuda.matmul.allow_tf32 = (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
    )
    try:  # float32 convolutions may round to TF32, so this product may too
        out = a @ a
        return 2 * side**3 / min(_elapsed(lambda: torch.mm(a, a, out=out), device) for _ in range(9))
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def _elapsed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds until the device is done."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@dataclass(frozen=True)
class Memory:
    """What the memory of a loss takes.

    Args:
        held: bytes of its buffers, from one round to the next.
        begin: peak of bytes above what was resident before `begin`, the embeddings of the round not included.
        step: peak of bytes above what was resident before steps.
        seconds: of a step: loss, backward to the embeddings, update.
    """

    held: int
    begin: float
    step: float
    seconds: float


def memory_of(loss: nn.Module, images: int, dimensions: int, device: torch.device) -> Memory:
    """Measures it on random rows in clusters of 20, with batches of 256 from 16 clusters."""
    generator = torch.Generator(device).manual_seed(0)
    labels = torch.arange(images) // ALIKE
    clusters = int(labels[-1]) + 1
    drawn = {"device": device, "generator": generator}
    offered = {"centroids": torch.randn(clusters, dimensions, **drawn), "labels": labels.to(device)}
    if isinstance(loss, InstanceMemory):
        offered["embeddings"] = torch.randn(images, dimensions, **drawn)
    begin = _peak(lambda: loss.begin(**asked(loss.begin, offered)), device)
    del offered
    embeddings = torch.randn(BATCH, dimensions, **drawn).requires_grad_()
    batches = _batches(images, clusters)

    def steps() -> None:
        for rows in batches:
            _step(loss, embeddings, labels[rows], rows)

    steps()
    embeddings.grad = None
    peak = _peak(steps, device)
    spent = statistics.median(_elapsed(steps, device) for _ in range(REPEATS)) / STEPS
    held = sum(each.numel() * each.element_size() for each in loss.buffers())
    return Memory(held, begin, peak, spent)


def _batches(images: int, clusters: int) -> list[Tensor]:
    """Rows of the images of each batch, as many of each cluster."""
    rng = np.random.default_rng(0)
    found, each = [], BATCH // CLUSTERS_IN_BATCH
    for _ in range(STEPS):
        firsts = ALIKE * rng.choice(clusters, CLUSTERS_IN_BATCH, replace=clusters < CLUSTERS_IN_BATCH)
        rows = [rng.choice(np.arange(first, min(images, first + ALIKE)), each) for first in firsts]
        found.append(torch.from_numpy(np.concatenate(rows)))
    return found


def _step(loss: nn.Module, embeddings: Tensor, labels: Tensor, rows: Tensor) -> None:
    there = labels.to(embeddings.device, non_blocking=True)
    embeddings.grad = None
    loss(embeddings, there).backward()
    ask(loss.update, embeddings.detach(), there, host_labels=labels, rows=rows)


def _peak(call: Callable[[], object], device: torch.device) -> float:
    """Bytes above what was resident, in the memory of the device."""
    if device.type != "cuda":
        return max(0.0, measure(call)[2])
    _wait(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    call()
    _wait(device)
    return torch.cuda.max_memory_allocated(device) - before


def memories(sizes: Sequence[int], dimensions: int, device: torch.device) -> Iterator[list[str]]:
    """Rows of the table, one of each memory for each number of images."""
    for images in sizes:
        for loss in (ClusterMemory(), InstanceMemory()):
            entries = -(-images // ALIKE) if isinstance(loss, ClusterMemory) else images
            name = f"{type(loss).__name__}, {entries:,} rows"
            needs = 4 * dimensions * (COPIES * images if isinstance(loss, InstanceMemory) else 3 * images / ALIKE)
            free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available_bytes()
            if free is not None and needs > free:
                words = f"begin needs {needs / 1e9:.1f} GB, {free / 1e9:.1f} GB are free"
                yield [name, f"{images:,}", "", "", "", words]
                continue
            found = memory_of(loss, images, dimensions, device)
            taken = map(megabytes, (found.held, found.begin, found.step))
            yield [name, f"{images:,}", *taken, seconds(found.seconds)]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """In Markdown, the first column flush left."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return [_line(heads, widths), _rule(widths), *(_line(row, widths) for row in rows)]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    return f"| {' | '.join([cells[0].ljust(widths[0]), *others])} |"


def _rule(widths: Sequence[int]) -> str:
    return f"|{'|'.join(['-' * (widths[0] + 2), *('-' * (width + 1) + ':' for width in widths[1:])])}|"


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--full", action="store_true", help="ResNet-50 at the published sizes, for a GPU")
    parser.add_argument("--memories", action="store_true", help="a memory of clusters beside one of images")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--iterations", type=int, help="steps in a round; 10, with --full 200")
    parser.add_argument("--images", type=int, help="384, with --full 12,936")
    parser.add_argument("--sizes", nargs="+", type=int, default=[12_936, 100_000, 1_000_000])
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="cuda with --full, else cpu")
    parser.add_argument("--compiled", action="store_true", help="with torch.compile")
    chosen = parser.parse_args(given)
    name = chosen.device or ("cuda" if chosen.full else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu measures the same on the CPU, slowly")
    print("\n".join(environment.lines()))
    if name == "cuda":
        print(f"device: {torch.cuda.get_device_name()}")
    if chosen.memories:
        print(f"\nbatch {BATCH}, {chosen.dimensions:,} dimensions, float32\n")
        print(
            _line(["memory", "images", "held", "peak of begin", "peak of steps", "a step"], WIDTHS),
            _rule(WIDTHS),
            sep="\n",
        )
        for row in memories(chosen.sizes, chosen.dimensions, torch.device(name)):
            print(_line(row, WIDTHS), flush=True)
        return
    accelerator = Accelerator(cpu=name == "cpu", mixed_precision="bf16" if chosen.full else "no")
    recipe = (full if chosen.full else small)(chosen.rounds, chosen.iterations or (200 if chosen.full else 10))
    with tempfile.TemporaryDirectory() as folder:
        images = coloured_noise(
            Path(folder), chosen.images or (12_936 if chosen.full else 384), *recipe.encoder.image_size
        )
        found = measured(recipe, images, accelerator, chosen.compiled)
    height, width = recipe.encoder.image_size
    print(
        f"\n{recipe.encoder.backbone} at {height} x {width}, {recipe.batches.identities} x {recipe.batches.images} a batch, "
        f"{recipe.batches.iterations} steps a round, {len(images):,} images, {'bfloat16' if chosen.full else 'float32'}; "
        f"{found.operations / 1e9:.3g} GFLOP an image, matrix rate {found.rate / 1e9:,.0f} GFLOP/s\n",
        *found.lines(),
        sep="\n",
    )


if __name__ == "__main__":
    main()
