/** What the admin server answers. Everything comes from the memory of the primary; no request waits for a worker. */
import { redactConfig } from '../../config/redact.ts'
import type { Config, TenantConfig } from '../../config/schema.ts'
import type { JournalBooks, ProxyBooks } from '../../contracts/reconcile.ts'
import { noUsage } from '../../contracts/usage-report.ts'
import type { JournalShipper } from '../shipping/journal-shipper.ts'
import { addTo, type UsageAccount } from '../shipping/usage-accounts.ts'
import { badPage, json, pageOf, problemAnswer } from './admin-answers.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from './admin-routing.ts'
import type { ApiKeyUses } from './api-key-uses.ts'
import { connectionRoutes } from './connection-routes.ts'
import { credentialList } from './credential-list.ts'
import type { LiveState } from './live-state.ts'
import { logLevelRoutes } from './log-level-routes.ts'
import type { ProxyMetrics } from './metrics.ts'
import type { OperatorDesk } from './operator-desk.ts'
import { profileRoutes } from './profile-routes.ts'
import type { QuotaRelay, QuotaState } from './quota-relay.ts'
import type { ReloadResult } from './reloader.ts'
import { tenantDrainRoutes } from './tenant-drain-routes.ts'
import type { TenantView } from './tenant-view.ts'
import { topRoutes } from './top-routes.ts'

/** For what is in journals and was not shipped yet: its sums are in the answer only once it is read. */
const READ_AHEAD_MS = 2_000
const PARTS = ['counted', 'journaled', 'acknowledged', 'setAside', 'pending'] as const

export interface AdminSources {
  readonly phase: () => 'starting' | 'ready' | 'draining'
  readonly workers: () => { readonly ready: number; readonly count: number }
  /** Without tenants. */
  readonly config: () => Config
  readonly tenants: Pick<TenantView, 'ids' | 'size' | 'tenant' | 'wholeConfig'>
  readonly metrics: ProxyMetrics
  readonly live: LiveState
  readonly shipper: JournalShipper
  readonly quotas: Pick<QuotaRelay, 'stateOf'>
  readonly keyUses: Pick<ApiKeyUses, 'lastUse' | 'since'>
  readonly operator: OperatorDesk
  readonly reload: () => Promise<ReloadResult>
  readonly drain: () => void
}

export function adminRoutes(sources: AdminSources): AdminRoute[] {
  return [
    { ...get('/livez', () => json(200, { status: 'alive' })), open: true },
    { ...get('/readyz', request => readyz(sources, request)), open: true },
    get('/metrics', async ({ accept }) => ({
      status: 200,
      ...(await sources.metrics.expose(accept)),
    })),
    get('/config', () => json(200, redactConfig(sources.tenants.wholeConfig()))),
    get('/tenants', request => listTenants(sources, request)),
    get('/tenants/:id', ({ id }) => showTenant(sources, id)),
    get('/reconcile', async request => reconcile(sources, request)),
    ...connectionRoutes({ live: sources.live, openConnections: sources.operator.connections }),
    ...tenantDrainRoutes({ ...sources, drains: sources.operator.drains }),
    ...topRoutes(sources),
    ...logLevelRoutes(sources.operator.logLevel),
    ...profileRoutes(sources.operator.profiles),
    post('/reload', async () => reload(sources)),
    post('/drain', () => {
      sources.drain()
      return json(202, { status: 'draining' })
    }),
  ]
}

type Answer = AdminRoute['answer']

function get(path: string, answer: Answer): AdminRoute {
  return { method: 'GET', path, answer }
}

function post(path: string, answer: Answer): AdminRoute {
  return { method: 'POST', path, answer }
}

function readyz(
  { phase, workers, shipper, live }: AdminSources,
  { authorized }: AdminRequest,
): AdminAnswer {
  const { ready, count } = workers()
  // Without a worker nothing is accepted, whatever the phase says.
  const status = phase() === 'ready' && ready === 0 ? 'no worker' : phase()
  const code = status === 'ready' ? 200 : 503
  if (!authorized) return json(code, { status })
  const { lagMs, bytesPending } = shipper.status()
  const reporting = { lagSeconds: lagMs / 1_000, bytesPending }
  return json(code, {
    status,
    workers: { ready, count },
    reporting,
    journal: journalOf(live),
  })
}

/** A journal that fails makes nobody unready: traffic goes on, unless the configuration wants it otherwise. */
function journalOf(live: LiveState): Record<string, unknown> {
  const { failing, since, unwritten } = live.journals()
  if (since === null) return { status: 'written' }
  const failingSince = new Date(since).toISOString()
  return { status: 'failing', workers: failing, since: failingSince, recordsInMemory: unwritten }
}

function listTenants(
  { tenants, live, shipper, operator }: AdminSources,
  { query }: AdminRequest,
): AdminAnswer {
  const all = tenants.ids()
  const page = pageOf(all, query, id => id)
  if (page === undefined) return badPage()
  const found = page.items.flatMap(id => tenants.tenant(id) ?? [])
  const listed = found.map(({ id, disabled, address, hosts, credentials, deployment }) => ({
    id,
    disabled,
    draining: operator.drains.stateOf(id) !== undefined,
    address: address ?? null,
    hosts: hosts.length,
    credentials: credentials.length,
    endpoints: deployment.endpoints.length,
    calls: shipper.accounts.counted.of(id).calls,
    connections: live.activeOf(id),
  }))
  return json(200, { total: all.length, tenants: listed, next: page.next })
}

function showTenant(
  { tenants, config, live, metrics, shipper, quotas, keyUses, operator }: AdminSources,
  id: string,
): AdminAnswer {
  const found = tenants.tenant(id)
  if (found === undefined) return problemAnswer('not_found', 'no tenant has this id')
  const { disabled, address, hosts, credentials, deployment, limits } = found
  const health = live.endpointsOf(id)
  return json(200, {
    id,
    disabled,
    drain: operator.drains.stateOf(id) ?? null,
    address: address ?? null,
    hosts,
    credentials: credentialList(credentials, digest => keyUses.lastUse(id, digest)),
    lastUsedSince: new Date(keyUses.since).toISOString(),
    deployment: {
      endpoints: deployment.endpoints,
      // Workers know of a deployment's health from the first call on.
      healthy: health?.healthy ?? null,
      ejected: health?.ejected ?? null,
    },
    connections: { active: live.activeOf(id) },
    usage: shipper.accounts.counted.of(id),
    limits: { ...config().limits, ...limits },
    limited: metrics.limitedOf(id),
    quotas: found.quotas.map(quota => quotaOf(quota, quotas.stateOf(id, quota.name))),
  })
}

/** `remaining` is what nobody had been given when the mixer last said so; null before the first call, and for events. */
function quotaOf(quota: TenantConfig['quotas'][number], state: QuotaState | undefined): object {
  const { name, of, amount, per } = quota
  const resetAt = state && new Date(state.resetAt).toISOString()
  return { name, of, amount, per, remaining: state?.remaining ?? null, resetAt: resetAt ?? null }
}

async function reconcile({ shipper }: AdminSources, { query }: AdminRequest): Promise<AdminAnswer> {
  const { tenants, of, journals } = await shipper.books(READ_AHEAD_MS)
  const page = pageOf(tenants, query, tenant => tenant)
  if (page === undefined) return badPage()
  const sum = (pick: (journal: JournalBooks) => number): number =>
    journals.reduce((total, journal) => total + pick(journal), 0)
  return json(200, {
    totals: totalOf(tenants.map(of)),
    tenants: page.items.map(tenant => ({ tenant, ...of(tenant) })),
    next: page.next,
    journals: [...journals],
    bytesPending: sum(({ bytesPending }) => bytesPending),
    bytesUnread: sum(({ bytesUnread }) => bytesUnread),
    lagSeconds: journals.reduce((most, { lagSeconds }) => Math.max(most, lagSeconds), 0),
  } satisfies ProxyBooks)
}

function totalOf(accounts: readonly UsageAccount[]): UsageAccount {
  const total = {
    counted: noUsage(),
    journaled: noUsage(),
    acknowledged: noUsage(),
    setAside: noUsage(),
    pending: noUsage(),
  }
  for (const account of accounts) for (const part of PARTS) addTo(total[part], account[part], 1)
  return total
}

async function reload({ reload: run, phase }: AdminSources): Promise<AdminAnswer> {
  if (phase() === 'draining') return problemAnswer('draining')
  const result = await run()
  if (result.ok) return json(200, { generation: result.generation, changed: result.changed })
  const { generation, problems } = result
  return problemAnswer('configuration_refused', undefined, { members: { generation, problems } })
}
