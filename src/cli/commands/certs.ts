import { Command } from 'commander'
import { initCommand } from '../certs/init.ts'
import { revokeCommand } from '../certs/revoke.ts'
import { serverCommand } from '../certs/server.ts'
import { tenantCommand } from '../certs/tenant.ts'

/** `amt certs`: a development authority and its certificates, so that trying out mTLS takes three commands. */
export function certsCommand(): Command {
  return new Command('certs')
    .description('make certificates for development')
    .addHelpText(
      'after',
      '\nExample:\n  amt certs init && amt certs server && amt certs tenant --tenant acme\n',
    )
    .addCommand(initCommand())
    .addCommand(serverCommand())
    .addCommand(tenantCommand())
    .addCommand(revokeCommand())
}
