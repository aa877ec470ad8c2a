import type { Migration } from './migration.ts'

/**
 * A producer has a row from when a proxy announces it, with sequence 0, and no report is taken before. Those of before
 * are known by their rows; which proxy they are of was not said.
 */
export const announcedProducers: Migration = [
  `ALTER TABLE producer ADD COLUMN proxy TEXT NOT NULL DEFAULT ''`,
]
