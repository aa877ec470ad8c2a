/** Options that several commands share, each with its check; a value that is not taken ends the program with exit code 2. */
import { InvalidArgumentError, Option } from 'commander'
import { TENANT_ID_HINT, TENANT_ID_PATTERN } from '../core/tenant-id.ts'
import { DEFAULT_ADMIN } from './admin-access.ts'

const MAX_WORKERS = 256

export function adminOption(): Option {
  return new Option(
    '--admin <url>',
    `admin server of the proxy, a URL or unix:PATH; that of the configuration by default, else ${DEFAULT_ADMIN}`,
  ).argParser((text: string) => {
    if (!/^(https?|unix):$/.test(URL.parse(text)?.protocol ?? ''))
      throw new InvalidArgumentError('It must be an http or https URL, or unix:PATH.')
    return text
  })
}

export function tenantOption(): Option {
  return new Option('--tenant <id>', 'id of the tenant').argParser((text: string) => {
    if (!TENANT_ID_PATTERN.test(text))
      throw new InvalidArgumentError(`It must be ${TENANT_ID_HINT}.`)
    return text
  })
}

export function workersOption(): Option {
  return new Option(
    '--workers <number>',
    'worker processes, instead of what the configuration says',
  ).argParser((text: string) => {
    const workers = /^\d{1,3}$/.test(text) ? Number(text) : 0
    if (workers < 1 || workers > MAX_WORKERS) {
      throw new InvalidArgumentError(`It must be a number from 1 to ${MAX_WORKERS}.`)
    }
    return workers
  })
}
