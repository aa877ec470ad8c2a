import type { Migration } from './migration.ts'

const TABLES = ['usage', 'usage_hour', 'usage_day']
const COUNTERS = ['request_messages', 'response_messages']
const HALVES = COUNTERS.flatMap(counter => [`${counter}_high`, `${counter}_low`])

/** gRPC messages of requests and of answers; none were counted before. Neither database writes its rows anew for this. */
export const messages: Migration = [
  ...TABLES.flatMap(table =>
    COUNTERS.map(counter => `ALTER TABLE ${table} ADD COLUMN ${counter} BIGINT NOT NULL DEFAULT 0`),
  ),
  ...['producer', 'ledger_sums'].flatMap(table =>
    HALVES.map(half => `ALTER TABLE ${table} ADD COLUMN ${half} BIGINT NOT NULL DEFAULT 0`),
  ),
]
