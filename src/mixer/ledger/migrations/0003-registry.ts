import type { Migration } from './migration.ts'

/**
 * What proxies have registered: for each the snapshot in force and the one whose pages are coming in (service and digests
 * of its pages, as JSON), and the pages (tenants, as JSON).
 */
export const registry: Migration = [
  `CREATE TABLE registry_proxy (
    proxy             TEXT   NOT NULL PRIMARY KEY,
    generation        BIGINT NOT NULL,
    snapshot          TEXT   NOT NULL,
    wanted_generation BIGINT NOT NULL,
    wanted            TEXT   NOT NULL,
    heard             BIGINT NOT NULL
  )`,
  `CREATE TABLE registry_page (
    proxy   TEXT NOT NULL,
    digest  TEXT NOT NULL,
    tenants TEXT NOT NULL,
    PRIMARY KEY (proxy, digest)
  )`,
]
