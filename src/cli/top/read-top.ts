/** Asks the admin server of a proxy what its tenants are doing. */
import { type Top, type TopKey, topSchema } from '../../contracts/top.ts'
import { type AdminAccess, askAdmin } from '../admin-access.ts'

const TIMEOUT_MS = 10_000

export interface TopQuestion {
  readonly by: TopKey
  /** Ids contain it; empty for all. */
  readonly filter: string
  readonly limit: number
}

/** `problem`: one line that says what failed, and where. */
export type TopResult = { readonly top: Top } | { readonly problem: string }

/** Never rejects. */
export async function readTop(
  admin: AdminAccess,
  { by, filter, limit }: TopQuestion,
  signal?: AbortSignal,
): Promise<TopResult> {
  try {
    const query = new URLSearchParams({ by, filter, limit: String(limit) })
    const { status, body } = await askAdmin(admin, `/top?${query.toString()}`, TIMEOUT_MS, signal)
    if (status === 401)
      return refused(admin, 'needs a token: that of admin.token, with --config or AMT_ADMIN_TOKEN')
    const top = status === 200 ? topSchema.safeParse(JSON.parse(body)) : undefined
    return top?.success === true
      ? { top: top.data }
      : refused(admin, `answered ${status}, but not as the admin server of a proxy does`)
  } catch (cause) {
    return refused(admin, describe(cause))
  }
}

function refused({ name }: AdminAccess, why: string): TopResult {
  return { problem: `${name}: ${why}` }
}

function describe(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return describe(cause.errors[0])
  return cause instanceof Error ? cause.message : String(cause)
}
