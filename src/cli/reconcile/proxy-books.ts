/** Reads the books of a proxy from its admin server, all pages of them. */
import { type ProxyBooks, proxyBooksSchema } from '../../contracts/reconcile.ts'
import { type AdminAccess, askAdmin } from '../admin-access.ts'

const PAGE = 1_000
const TIMEOUT_MS = 15_000
/** More tenants than a proxy has. */
const MAX_PAGES = 1_000

/** `problem`: one line that says what failed, and where. */
export type ProxyBooksResult = { readonly books: ProxyBooks } | { readonly problem: string }

/** Never rejects. */
export async function readProxyBooks(admin: AdminAccess): Promise<ProxyBooksResult> {
  try {
    let books = await readPage(admin, undefined)
    for (let page = 1; books.next !== null && page < MAX_PAGES; page += 1) {
      const more = await readPage(admin, books.next)
      // The newest page has the newest totals; its tenants are those behind the ones before.
      books = { ...more, tenants: [...books.tenants, ...more.tenants] }
    }
    return { books }
  } catch (cause) {
    return { problem: `${admin.name}: ${describe(cause)}` }
  }
}

async function readPage(admin: AdminAccess, after: string | undefined): Promise<ProxyBooks> {
  const query = new URLSearchParams({
    limit: String(PAGE),
    ...(after === undefined ? {} : { after }),
  })
  const { status, body } = await askAdmin(admin, `/reconcile?${query.toString()}`, TIMEOUT_MS)
  if (status === 401)
    throw new Error('needs a token: that of admin.token, with --config or AMT_ADMIN_TOKEN')
  const books = status === 200 ? proxyBooksSchema.safeParse(JSON.parse(body)) : undefined
  if (books?.success !== true)
    throw new Error(`answered ${status}, but not as the admin server of a proxy does`)
  return books.data
}

function describe(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return describe(cause.errors[0])
  return cause instanceof Error ? cause.message : String(cause)
}
