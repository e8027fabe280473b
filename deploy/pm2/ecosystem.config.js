// pm2 start deploy/pm2/ecosystem.config.js; pm2 restart kyrodb; pm2 sendSignal SIGHUP kyrodb reloads.
module.exports = {
  apps: [
    {
      name: "kyrodb",
      script: "/opt/kyrodb/bin/kyrodb_server",
      args: ["--config", "/etc/kyrodb/config.yaml"],
      interpreter: "none",
      cwd: "/var/lib/kyrodb",
      // One process owns a data directory; a second one would be refused.
      instances: 1,
      exec_mode: "fork",
      // SIGINT asks the server to finish; it gets more than server.shutdown_timeout_secs to do so.
      kill_timeout: 60000,
      autorestart: true,
      max_restarts: 5,
      min_uptime: "30s",
      restart_delay: 5000,
    },
  ],
};
