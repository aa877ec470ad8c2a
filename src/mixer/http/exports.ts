/** `GET /v1/exports`: how far exports are and what of them waits; `POST /v1/exports`: an operator's decision about that. */
import { z } from 'zod'
import {
  EXPORT_STATES,
  type ExportStatus,
  type ExportsAnswer,
  exportDecisionAnswerSchema,
  exportDecisionSchema,
  exportsAnswerSchema,
  MAX_EXPORT_ITEMS,
} from '../../contracts/export-status.ts'
import type { Clock } from '../../core/clock.ts'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../../core/tenant-id.ts'
import type { Logger } from '../../runtime/logger.ts'
import type { UNSETTLED } from '../exports/backlog.ts'
import {
  backlogOf,
  decide,
  findItems,
  type ItemFilter,
  type KnownExport,
  knownExports,
} from '../exports/backlog.ts'
import type { Backlog } from '../exports/export-metrics.ts'
import { type Database, messageOf, type SqlSession } from '../ledger/database.ts'
import { type Answer, json, malformed, refusal } from './answer.ts'
import type { Route } from './route.ts'

export interface ExportRoutesDeps {
  readonly database: Database
  readonly configured: readonly { readonly name: string; readonly kind: string }[]
  readonly problemOf: (name: string) => string | undefined
  readonly clock: Clock
  readonly logger: Logger
}

export function exportRoutes(deps: ExportRoutesDeps): Route[] {
  return [statusRoute(deps), decisionRoute(deps)]
}

function statusRoute(deps: ExportRoutesDeps): Route {
  return {
    method: 'GET',
    path: '/v1/exports',
    access: 'token',
    documentation: {
      summary: 'How far exports are, and items of them: those that wait for a decision.',
      parameters: [
        { name: 'export', description: 'Items of one export; of all where it is left out.' },
        { name: 'state', description: `Items of one state: ${EXPORT_STATES.join(', ')}.` },
        { name: 'tenant', description: 'Items of one tenant.' },
        { name: 'window', description: 'Items of the window that begins then, in ISO 8601.' },
        { name: 'limit', description: `Most items, up to ${MAX_EXPORT_ITEMS}; 100 by default.` },
      ],
      answer: exportsAnswerSchema,
      refusals: ['malformed_message', 'ledger_unavailable'],
    },
    async handle({ search }) {
      const filter = parseFilter(search)
      if ('problems' in filter) return malformed(filter.problems)
      return guarded(deps.logger, async () =>
        json(await deps.database.snapshot(session => answer(session, deps, filter))),
      )
    },
  }
}

function decisionRoute({ database, clock, logger }: ExportRoutesDeps): Route {
  return {
    method: 'POST',
    path: '/v1/exports',
    access: 'token',
    documentation: {
      summary:
        'Decides about items that wait for it: send them again, or take them as acknowledged.',
      requestBody: exportDecisionSchema,
      answer: exportDecisionAnswerSchema,
      refusals: [
        'malformed_message',
        'payload_too_large',
        'unsupported_media_type',
        'ledger_unavailable',
      ],
    },
    async handle({ body }) {
      const read = await body()
      if (!read.ok) return refusal(read.code, { detail: read.detail })
      const parsed = exportDecisionSchema.safeParse(read.value)
      if (!parsed.success) return malformed(parsed.error.issues.map(describe))
      return guarded(logger, async () => {
        const changed = await decide(database, parsed.data, Math.floor(clock.now()))
        logger.warn({ ...parsed.data, changed }, 'an operator has decided about items of an export')
        return json({ changed })
      })
    },
  }
}

async function guarded(logger: Logger, work: () => Promise<Answer>): Promise<Answer> {
  try {
    return await work()
  } catch (cause) {
    logger.error({ reason: messageOf(cause) }, 'the ledger cannot be used')
    return refusal('ledger_unavailable', { headers: { 'retry-after': '1' } })
  }
}

async function answer(
  session: SqlSession,
  { configured, problemOf }: ExportRoutesDeps,
  filter: ItemFilter,
): Promise<ExportsAnswer> {
  const known = await knownExports(session)
  const names = new Set([...configured, ...known].map(({ name }) => name))
  const exports: ExportStatus[] = []
  for (const name of names) {
    const problem = problemOf(name)
    exports.push({
      ...statusOf(
        configured.find(each => each.name === name),
        known.find(each => each.name === name),
      ),
      name,
      ...waitingOf(await backlogOf(session, name)),
      ...(problem === undefined ? {} : { problem }),
    })
  }
  const items = await findItems(session, filter)
  return { exports, items: items.slice(0, filter.limit), more: items.length > filter.limit }
}

function statusOf(
  configured: ExportRoutesDeps['configured'][number] | undefined,
  known: KnownExport | undefined,
): Pick<ExportStatus, 'configured' | 'kind' | 'plannedUntil'> {
  return {
    configured: configured !== undefined,
    ...(configured === undefined ? {} : { kind: configured.kind }),
    ...(known === undefined ? {} : { plannedUntil: new Date(known.plannedUntil).toISOString() }),
  }
}

type Waiting = Pick<ExportStatus, (typeof UNSETTLED)[number]>

function waitingOf(backlog: readonly Backlog[]): Waiting {
  const entries = backlog.map(({ state, items, oldest }) => [
    state,
    { items, ...(oldest === undefined ? {} : { oldest: new Date(oldest).toISOString() }) },
  ])
  return Object.fromEntries(entries) as Waiting
}

const filterSchema = z.strictObject({
  export: z.string().min(1).max(63).optional(),
  state: z.enum(EXPORT_STATES).optional(),
  tenant: z.string().regex(TENANT_ID_PATTERN, `must be ${TENANT_ID_HINT}`).optional(),
  window: z.iso
    .datetime({
      offset: true,
      error: 'must be the start of a window, such as 2026-11-22T13:00:00Z',
    })
    .transform(text => Date.parse(text))
    .optional(),
  limit: z.coerce.number().int().min(1).max(MAX_EXPORT_ITEMS).default(100),
})

function parseFilter(search: URLSearchParams): ItemFilter | { readonly problems: string[] } {
  const twice = [...new Set(search.keys())].filter(name => search.getAll(name).length > 1)
  if (twice.length > 0) return { problems: twice.map(name => `${name}: given more than once`) }
  const parsed = filterSchema.safeParse(Object.fromEntries(search))
  if (!parsed.success) return { problems: parsed.error.issues.map(describe) }
  const { limit, ...given } = parsed.data
  return { limit, ...definedOf(given) }
}

/** Without what was left out. */
function definedOf<T extends object>(given: T): { [Key in keyof T]: Exclude<T[Key], undefined> } {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as { [Key in keyof T]: Exclude<T[Key], undefined> }
}

function describe({ path, message }: z.core.$ZodIssue): string {
  return `${path.join('.') || 'it'}: ${message}`
}
