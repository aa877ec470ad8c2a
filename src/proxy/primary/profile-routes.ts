/** `POST /profile/cpu` and `POST /profile/heap`. */
import { parseSize } from '../../core/units.ts'
import type { ProfileRequest } from '../../runtime/profile.ts'
import { problemAnswer } from './admin-answers.ts'
import type { AdminAnswer, AdminRequest, AdminRoute } from './admin-routing.ts'
import type { ProfileDesk, ProfiledProcess } from './profile-desk.ts'

const DEFAULT_SECONDS = '10'
const MOST_SECONDS = 60
const DEFAULT_HEAP = '512MiB'
const EXPECTED = `worker must be the number of a worker or primary; seconds from 1 to ${MOST_SECONDS}; max a size such as ${DEFAULT_HEAP}`

export function profileRoutes(profiles: Pick<ProfileDesk, 'take'>): AdminRoute[] {
  const route = (path: string, read: typeof cpuOf, extension: string): AdminRoute => ({
    method: 'POST',
    path,
    answer: async ({ query, signal }: AdminRequest) => {
      const process = processOf(query.get('worker'))
      const request = read(query)
      if (process === undefined || request === undefined)
        return problemAnswer('malformed_message', EXPECTED)
      const result = await profiles.take(process, request, signal)
      if (!('stream' in result)) return refusalOf(result)
      const name = process === 'primary' ? process : `worker-${process}`
      return {
        status: 200,
        contentType: 'application/json',
        body: result.stream,
        headers: { 'content-disposition': `attachment; filename="${name}.${extension}"` },
      }
    },
  })
  return [
    route('/profile/cpu', cpuOf, 'cpuprofile'),
    route('/profile/heap', heapOf, 'heapsnapshot'),
  ]
}

function refusalOf(
  result: { readonly refused: 'busy' | 'gone' } | { readonly failed: string },
): AdminAnswer {
  if ('failed' in result) return problemAnswer('profile_failed', result.failed)
  return result.refused === 'busy'
    ? problemAnswer('profile_in_progress')
    : problemAnswer('not_found', 'no worker that serves has this number')
}

function processOf(text: string | null): ProfiledProcess | undefined {
  if (text === 'primary') return text
  return text !== null && /^[1-9]\d{0,2}$/.test(text) ? Number(text) : undefined
}

function cpuOf(query: URLSearchParams): ProfileRequest | undefined {
  const text = query.get('seconds') ?? DEFAULT_SECONDS
  const seconds = /^\d{1,2}$/.test(text) ? Number(text) : 0
  return seconds < 1 || seconds > MOST_SECONDS ? undefined : { what: 'cpu', ms: seconds * 1_000 }
}

function heapOf(query: URLSearchParams): ProfileRequest | undefined {
  const most = parseSize(query.get('max') ?? DEFAULT_HEAP)
  return most === undefined ? undefined : { what: 'heap', most }
}
