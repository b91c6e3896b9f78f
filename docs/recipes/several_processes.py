"""One run on several processes: a script for torchrun. Two processes on the CPU here; on GPUs it is the same script.

Evaluation may be shared out, too: each process looks at a part, and ``gather`` joins what they found.
Without ``with yl.distributed():`` the Trainer refuses to start, as each process would train a copy.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = """
import sys
import yolo_lite as yl
from yolo_lite.datasets.shapes import Shapes

with yl.distributed() as world:  # joins the processes that torchrun started; alone it does nothing
    train = yl.YoloDataset(Shapes("train", 64, 16), 64, augment=True)
    model = yl.create_model("yolov5n", names=train.names)
    trainer = yl.Trainer(model, train, out_dir=sys.argv[1], epochs=1, batch_size=4, device="cpu", auto_anchors=False)
    trainer.fit()
    val = yl.YoloDataset(Shapes("val", 64, 15), 64)
    loader = yl.create_dataloader(val, 4, rank=world.rank, world_size=world.size)  # this process's part of it
    metrics = yl.evaluate(trainer.ema.model, loader, gather=world.gathered)  # of the whole, in every process
    assert metrics.num_images == 15
    if world.is_main:
        assert metrics.map == yl.evaluate(trainer.ema.model, yl.create_dataloader(val, 4)).map
        print("processes:", world.size, "batches each:", trainer.iteration)
"""
with tempfile.TemporaryDirectory() as folder:
    script = Path(folder, "script.py")
    script.write_text(SCRIPT)
    # torchrun --nproc_per_node 2 script.py run
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, f"{folder}/run"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["processes:", "2", "batches", "each:", "2"], done.stdout
    assert Path(folder, "run", "best.safetensors").exists()
