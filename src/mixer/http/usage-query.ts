/** Reads the parameters of a usage query. All of them may be left out; what is not understood is refused, never ignored. */
import {
  MAX_USAGE_WINDOWS,
  USAGE_GRAINS,
  USAGE_GROUPINGS,
  type UsageDimension,
  type UsageGrain,
  type UsageGrouping,
} from '../../contracts/usage-query.ts'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../../core/tenant-id.ts'
import type { LedgerQuery } from '../ledger/ledger.ts'
import { readCursor, type UsageCursor } from './usage-cursor.ts'

const { minute: MINUTE_MS, day: DAY_MS } = USAGE_GRAINS
/** Latest moment that a Date can hold. */
const MAX_TIME_MS = 8_640_000_000_000_000
/** Longest times that are answered by minute and by hour where nothing else is asked for. */
const MINUTES_UP_TO_MS = DAY_MS
const HOURS_UP_TO_MS = 60 * DAY_MS

export interface ParsedUsageQuery {
  readonly by: readonly UsageGrouping[]
  readonly query: LedgerQuery
}

/** The query, or everything that is wrong with it. `now` decides what today is, in UTC. */
export function parseUsageQuery(
  search: URLSearchParams,
  now: number,
): ParsedUsageQuery | { readonly problems: readonly string[] } {
  const text = search.get('cursor')
  if (text === null) return parse(search, now, undefined)
  const cursor = readCursor(text)
  if (cursor === undefined) return { problems: ['cursor: must be `next` of an answer'] }
  // What is not said again is as it was: today may be another day by now.
  const full = new URLSearchParams(search)
  for (const [name, value] of Object.entries(partsOf(cursor)))
    if (!full.has(name)) full.set(name, value)
  return parse(full, now, cursor)
}

function partsOf({ tenant, from, to, by }: UsageCursor): Record<string, string> {
  const range = { from: String(from), to: String(to), by: by.join(',') }
  return tenant === undefined ? range : { ...range, tenant }
}

function parse(
  search: URLSearchParams,
  now: number,
  cursor: UsageCursor | undefined,
): ParsedUsageQuery | { readonly problems: readonly string[] } {
  const problems: string[] = []
  checkNames(search, problems)
  const tenant = search.get('tenant') ?? undefined
  if (tenant !== undefined && !TENANT_ID_PATTERN.test(tenant))
    problems.push(`tenant: must be ${TENANT_ID_HINT}`)
  const { from, to } = parseRange(search, now, problems)
  const given = parseBy(search, to - from, problems)
  const limit = parseLimit(search, problems)
  const grain = given.find(isGrain)
  const dimensions = given.filter((grouping): grouping is UsageDimension => !isGrain(grouping))
  // In the order of the answer's windows, which go by time first.
  const by = [...(grain === undefined ? [] : [grain]), ...dimensions]
  if (cursor !== undefined && !belongsTo(cursor, { tenant, from, to, by }))
    problems.push('cursor: belongs to another query')
  if (problems.length > 0) return { problems }
  return {
    by,
    query: {
      ...(tenant === undefined ? {} : { tenant }),
      from,
      to,
      ...(grain === undefined ? {} : { grain }),
      dimensions,
      limit: limit ?? MAX_USAGE_WINDOWS,
      paged: limit !== undefined || cursor !== undefined,
      ...(cursor === undefined ? {} : { after: cursor.after }),
    },
  }
}

function belongsTo({ after, ...cursor }: UsageCursor, query: Omit<UsageCursor, 'after'>): boolean {
  const { by } = query
  const grains = by.filter(isGrain).length
  return (
    cursor.tenant === query.tenant &&
    cursor.from === query.from &&
    cursor.to === query.to &&
    cursor.by.join(',') === by.join(',') &&
    after.dimensions.length === by.length - grains &&
    (after.window !== undefined) === grains > 0
  )
}

function parseLimit(search: URLSearchParams, problems: string[]): number | undefined {
  const text = search.get('limit')
  if (text === null) return undefined
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (limit >= 1 && limit <= MAX_USAGE_WINDOWS) return limit
  problems.push(`limit: must be a number from 1 to ${MAX_USAGE_WINDOWS}`)
  return undefined
}

function isGrain(grouping: UsageGrouping): grouping is UsageGrain {
  return Object.hasOwn(USAGE_GRAINS, grouping)
}

const PARAMETERS: readonly string[] = ['tenant', 'from', 'to', 'by', 'limit', 'cursor']

function checkNames(search: URLSearchParams, problems: string[]): void {
  for (const name of new Set(search.keys())) {
    if (!PARAMETERS.includes(name))
      problems.push(`${quoted(name)}: unknown, allowed are ${PARAMETERS.join(', ')}`)
    else if (search.getAll(name).length > 1) problems.push(`${name}: given more than once`)
  }
}

/** Whole minutes that cover what was asked for; today where nothing was. */
export function parseRange(
  search: URLSearchParams,
  now: number,
  problems: string[],
): { from: number; to: number } {
  const toGiven = parseTime(search, 'to', problems)
  const fromGiven = parseTime(search, 'from', problems)
  const to = ceil(toGiven ?? floor(now, DAY_MS) + DAY_MS, MINUTE_MS)
  const from = floor(fromGiven ?? floor(toGiven === undefined ? now : to - 1, DAY_MS), MINUTE_MS)
  if (problems.length === 0 && from >= to) problems.push('to: must be later than from')
  return { from, to }
}

const ISO_8601 = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/

function parseTime(
  search: URLSearchParams,
  name: 'from' | 'to',
  problems: string[],
): number | undefined {
  const text = search.get(name)
  if (text === null) return undefined
  const time = /^\d{1,16}$/.test(text) ? Number(text) : parseIso(text)
  if (time >= 0 && time <= MAX_TIME_MS - DAY_MS) return time
  problems.push(
    `${name}: must be a time such as 2026-11-22 or 2026-11-22T13:00:00Z (a "+" is written %2B), or milliseconds since 1970`,
  )
  return undefined
}

/** NaN where `text` is no ISO 8601 time. Without an offset it is UTC, as all times here are. */
function parseIso(text: string): number {
  const [, date, time, offset] = ISO_8601.exec(text) ?? []
  if (date === undefined) return Number.NaN
  const midnight = Date.parse(`${date}T00:00:00Z`)
  // Date.parse takes the 31st of February for a day in March.
  if (Number.isNaN(midnight) || new Date(midnight).toISOString().slice(0, 10) !== date)
    return Number.NaN
  return time !== undefined && offset === undefined ? Date.parse(`${text}Z`) : Date.parse(text)
}

function parseBy(search: URLSearchParams, length: number, problems: string[]): UsageGrouping[] {
  const text = search.get('by')
  if (text === null) return [defaultGrain(length)]
  const by: UsageGrouping[] = []
  for (const name of new Set(text.split(',', USAGE_GROUPINGS.length + 1))) {
    const grouping = USAGE_GROUPINGS.find(known => known === name)
    if (grouping !== undefined) by.push(grouping)
    else problems.push(`by: ${quoted(name)} is unknown, allowed are ${USAGE_GROUPINGS.join(', ')}`)
  }
  if (by.filter(isGrain).length > 1) problems.push('by: only one of minute, hour and day')
  return by
}

function defaultGrain(length: number): UsageGrain {
  if (length <= MINUTES_UP_TO_MS) return 'minute'
  return length <= HOURS_UP_TO_MS ? 'hour' : 'day'
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 40))
}

function floor(time: number, grain: number): number {
  return time - (time % grain)
}

function ceil(time: number, grain: number): number {
  return floor(time + grain - 1, grain)
}
