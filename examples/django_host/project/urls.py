"""The project's own routes."""

import json

from django.contrib.auth import authenticate, login
from django.http import JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def home(request):
    return JsonResponse({"user": request.user.get_username()})


@csrf_exempt
def log_in(request):
    user = authenticate(request, **json.loads(request.body))
    if user is None:
        return JsonResponse({"error": "wrong name or password"}, status=401)
    login(request, user)
    return JsonResponse({"user": user.get_username()})


urlpatterns = [path("", home), path("login", log_in)]
