"""Anchors: how well they fit a dataset, and how to find better ones.

Interface: class AnchorFit(NamedTuple): best_possible_recall, anchors_per_object, mean_best_ratio ...; anchor_fit(wh, anchors, anchor_t=4.0); kmeans_anchors(wh, count, seed); evolve_anchors(wh, anchors, generations=1000, seed=0, anchor_t=4.0); suggest_anchors(dataset, ...) -> AnchorSuggestion(anchors (L, A, 2), fit before and after, replaced: bool)
"""
