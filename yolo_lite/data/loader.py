"""create_dataloader: batches of samples, the same ones for any number of workers.

Interface: create_dataloader(source_or_dataset, batch_size=16, *, shuffle=False, workers=0, drop_last=False, rank=0, world_size=1, pin_memory=False, **dataset_options) -> torch DataLoader
    its batch sampler yields lists of (epoch, index) keys, so persistent workers need no state; order is a function of (seed, epoch); sampler.set_epoch(e), otherwise each pass is the next epoch; sampler.start_batch to resume within an epoch
collate(samples) -> Batch
"""
