// Notifications of the CRM on a page: the list of what came while the visitor was away, and live what comes now.

(function () {
  var config;
  var authToken;

  // 1. Where everything is.
  $.get(site.configUrl, function (answer) {
    if (!answer.fusionUrl || !answer.pusherKey) return stop('no configuration');
    config = answer;
    login();
  }).fail(function () {
    stop('no configuration');
  });

  // 2. The operator's login is exchanged for one of the CRM.
  function login() {
    $.ajax({
      url: config.fusionUrl + '/Platform/LoginAuthToken',
      type: 'POST',
      headers: { authtoken: site.sid },
      data: {},
      success: function (response) {
        if (!response.Success) return stop(firstOf(response.Errors));
        if (!response.Data || !response.Data.User.UserId) return stop('no user');
        authToken = response.Data.Authentication.AuthToken;
        // 3. and 4.
        list();
        connect(response.Data.User.UserId);
      },
      error: function () {
        stop('no login');
      },
    });
  }

  // 3. What came while nobody was here; asked for again after each change.
  function list() {
    $.ajax({
      url: config.fusionUrl + '/Notifications/v2/user-notifications?unread-only=false&inbox-only=false',
      type: 'GET',
      headers: { authtoken: authToken },
      success: function (response) {
        if (!response.Success) return stop(firstOf(response.Errors));
        var unread = 0;
        $('#notifications').empty();
        for (var i = 0; i < response.Data.length; i++) {
          $('#notifications').append(entry(response.Data[i]));
          if (!response.Data[i].IsRead) unread++;
        }
        $('#unread').text(unread);
      },
    });
  }

  // 4. and 5. What comes from now on.
  function connect(userId) {
    var options = {
      authEndpoint: config.fusionUrl + '/external/pusher/' + site.brandName + '?authToken=' + site.sid,
      cluster: 'eu',
      encrypted: true,
    };
    // The lines that a page for hosted Pusher does not have: README.md says which of them yours needs.
    options.wsHost = config.wsHost;
    options.wsPort = config.wsPort;
    options.wssPort = config.wssPort;
    options.forceTLS = config.forceTLS;
    options.encrypted = config.forceTLS;
    options.disableStats = true;
    options.enabledTransports = ['ws', 'wss'];
    // Up to here.
    var pusher = new Pusher(config.pusherKey, options);

    var channel = pusher.subscribe('private-prisma-' + site.brandId + '-' + userId);
    channel.bind('pusher:subscription_succeeded', function () {
      $('#state').text('connected');
    });
    channel.bind('pusher:subscription_error', function (status) {
      stop('not subscribed (' + status + ')');
    });
    channel.bind('message', function (notification) {
      $('#message').text(notification.Title);
      list();
    });
    channel.bind('shoutout', function (notification) {
      $('#shoutout').text(notification.Title);
      list();
    });
    channel.bind('inbox', function (notification) {
      // A silent one is placed in the list and disturbs nobody.
      if (notification.DisplayType === 'push') $('#toast').text(notification.Title);
      list();
    });
  }

  // 6. What the visitor does with them.
  function markAsRead(id) {
    $.ajax({
      url: config.fusionUrl + '/Notifications/MarkNotificationAsRead',
      type: 'POST',
      headers: { authtoken: authToken },
      data: JSON.stringify({ MessageId: id }),
      success: changed,
    });
  }

  function remove(id) {
    $.ajax({
      url: config.fusionUrl + '//Notifications/v2/user-notification/' + id,
      type: 'DELETE',
      headers: { authtoken: authToken },
      data: {},
      success: changed,
    });
  }

  function changed(response) {
    if (response.Errors.length > 0) $('#state').text(firstOf(response.Errors));
    list();
  }

  // The CRM may send HTML in `Message`; who shows that instead of the preview must trust all who may send.
  function entry(notification) {
    var item = $('<li>').toggleClass('unread', !notification.IsRead);
    item.append($('<h2>').text(notification.Title), $('<p>').text(notification.PreviewText));
    if (!notification.IsRead) item.append(button('Mark as read', markAsRead, notification.MessageId));
    return item.append(button('Delete', remove, notification.MessageId));
  }

  function button(label, act, id) {
    return $('<button>')
      .text(label)
      .on('click', function () {
        act(id);
      });
  }

  function firstOf(errors) {
    return errors.length > 0 ? errors[0] : 'refused';
  }

  function stop(reason) {
    $('#state').text(reason);
  }
})();
