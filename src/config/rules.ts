/**
 * What must hold between values, beyond the form of each: names and addresses that clash, credentials that two tenants
 * claim, references to what is not there. Each message names both sides.
 */
import { Claims, type Draft, type TenantCensus, type Verdicts } from './draft.ts'
import { mention, placeIn } from './problem.ts'
import { checkAdmin } from './rules-admin.ts'
import { checkExports } from './rules-exports.ts'
import { checkFiles } from './rules-files.ts'
import { checkServiceIssuers } from './rules-issuers.ts'
import { checkListeners } from './rules-listeners.ts'
import { checkQuotas } from './rules-quotas.ts'
import { checkTrustDomains } from './rules-spiffe.ts'

/** All rules but those for single tenants, which are in `rules-tenants.ts`. */
export function checkService(draft: Draft, tenants: TenantCensus, verdicts: Verdicts): void {
  checkOperations(draft, verdicts)
  checkListeners(draft, tenants, verdicts)
  checkAdmin(draft, verdicts)
  checkServiceIssuers(draft, verdicts)
  checkTrustDomains(draft, verdicts)
  checkMixerTls(draft, verdicts)
  checkQuotas(draft, verdicts)
  checkLedger(draft, verdicts)
  checkRetention(draft, verdicts)
  checkExports(draft, verdicts)
  checkCaps(draft, verdicts)
  checkOverload(draft, verdicts)
  checkFiles(draft, verdicts)
}

/** Names that usage records have for what belongs to no operation. */
const RESERVED_OPERATIONS = ['other', 'tunnel', 'connection']

function checkOperations(draft: Draft, verdicts: Verdicts): void {
  const claims = new Claims()
  for (const [index, operation] of (draft.service?.operations ?? []).entries()) {
    const place = placeIn(draft.root, 'service', 'operations', index, 'name')
    const first = claims.claim(operation.name, place)
    if (first)
      verdicts.problem(place, `the name ${operation.name} is also that of ${mention(first)}`)
    if (RESERVED_OPERATIONS.includes(operation.name)) {
      verdicts.problem(
        place,
        `${operation.name} is what usage records call the rest, choose another name`,
      )
    }
  }
}

/** Proxies and deployments come to the same port. */
function checkMixerTls(draft: Draft, verdicts: Verdicts): void {
  const { tls, url = '' } = draft.mixer ?? {}
  if (tls && !/^https:/i.test(url)) {
    const place = placeIn(draft.root, 'mixer', 'url')
    verdicts.warning(
      place,
      'should be https, because the mixer serves nothing but TLS with mixer.tls',
    )
  }
}

/** A cap that another one always forestalls would promise an error that nobody gets. */
function checkCaps(draft: Draft, verdicts: Verdicts): void {
  const { http1, http2 } = draft
  if (http1 !== undefined && http1.maxTarget >= http1.maxHead) {
    const place = placeIn(draft.root, 'http1', 'maxTarget')
    verdicts.problem(place, 'must be smaller than http1.maxHead, of which the target is a part')
  }
  if (http2 !== undefined && http2.streamWindow > http2.connectionWindow) {
    const place = placeIn(draft.root, 'http2', 'streamWindow')
    verdicts.problem(
      place,
      'must not be larger than http2.connectionWindow, which all streams of a connection share',
    )
  }
}

/** What a worker does about its shortage, in this order: the mildest comes first. */
const OVERLOAD_STEPS = [
  'shrinkBuffers',
  'stopKeepAlive',
  'refuseCalls',
  'refuseConnections',
] as const

function checkOverload({ root, overload }: Draft, verdicts: Verdicts): void {
  if (overload === undefined) return
  for (const [index, step] of OVERLOAD_STEPS.entries()) {
    const milder = OVERLOAD_STEPS[index - 1]
    if (milder === undefined || overload[step] >= overload[milder]) continue
    const place = placeIn(root, 'overload', step)
    verdicts.problem(place, `must not be less than overload.${milder}, which is milder`)
  }
}

/** How TLS to PostgreSQL is asked for; all but the first and the last verify the server. */
const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full', 'no-verify']

function checkLedger(draft: Draft, verdicts: Verdicts): void {
  if (draft.ledger === undefined || draft.ledger.startsWith('sqlite:')) return
  const place = placeIn(draft.root, 'ledger')
  const url = URL.parse(draft.ledger)
  if (url === null)
    return verdicts.problem(place, 'must be a URL such as postgres://user@host:5432/database')
  const mode = url.searchParams.get('sslmode')
  if (mode !== null && !SSL_MODES.includes(mode))
    verdicts.problem(place, `sslmode must be one of ${SSL_MODES.join(', ')}`)
}

/** Minutes become hours, and hours days: what is gone by the hour cannot still be there by the minute. */
function checkRetention(draft: Draft, verdicts: Verdicts): void {
  if (draft.ledgerRetention === undefined) return
  const { minutes, hours, days } = draft.ledgerRetention
  const place = placeIn(draft.root, 'ledgerRetention')
  if (isShorter(hours, minutes))
    verdicts.problem(place, 'hours must be kept at least as long as minutes')
  if (isShorter(days, hours)) verdicts.problem(place, 'days must be kept at least as long as hours')
}

/** Of two durations of which 0 is for ever. */
function isShorter(one: number, other: number): boolean {
  return one !== 0 && (other === 0 || one < other)
}
