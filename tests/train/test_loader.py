import numpy as np
import pytest

from segcli.train.augment import Augmentation
from segcli.train.data import DataSet, read_dataset
from segcli.train.loader import Samples, batches, plan_epoch, preparing


@pytest.mark.slow
def test_processes_prepare_the_same_samples_as_threads(dataset):
    rows = read_dataset(DataSet(*dataset), ("disc", "box"))
    plans = plan_epoch(rows, batch_size=2, short=(64, 96), stride=32, seed=3, epoch=1)
    samples = Samples(rows, Augmentation(), 3)
    with preparing(samples, 2) as submit:
        threads = list(batches(submit, plans, epoch=1, ahead=2))
    with preparing(samples, 1, processes=True) as submit:
        processes = list(batches(submit, plans, epoch=1, ahead=3))
    assert len(threads) == len(processes) == len(plans)
    for (one, targets), (other, others) in zip(threads, processes, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        for a, b in zip(targets, others, strict=True):
            assert np.array_equal(a.masks, b.masks)
            assert np.array_equal(a.boxes, b.boxes)
            assert np.array_equal(a.labels, b.labels)
