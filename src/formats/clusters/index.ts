/** Sets of clusters, whose memory is bounded: what the tables of an image refer to. */
export { ChunkBudget } from './chunk-budget.ts';
export { ClusterSet } from './cluster-set.ts';
